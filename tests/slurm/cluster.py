"""A SLURM cluster of our own on this machine, for the length of one command.

    python tests/slurm/cluster.py COMMAND [WORD ...]

Five virtual nodes, two of them with four pretended GPUs each, all daemons on 127.0.0.1 with ports,
keys, logs and state in a folder of their own, which `TIPCAP_TEST_CLUSTER` names to the command. Needs root
and Debian's slurm-wlm and munge, which are installed where they are missing.

Configuration lies in /etc/slurm, because Snakemake's plugin takes SLURM_CONF out of the environment: files
there that this program did not write are never touched, it ends instead. It stops what it started only.
"""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

FOLDER = "TIPCAP_TEST_CLUSTER"
ETC = Path("/etc/slurm")
MARK = "# written by tipcap's tests/slurm/cluster.py for "
NODES = {"c1": 0, "c2": 0, "c3": 0, "g1": 4, "g2": 4}
"""Names of the nodes and how many GPUs each has."""
PATIENCE_S = 240
SAVING_S = 6.0
"""The controller saves what has changed at most five seconds later."""
PACKAGES = {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "munged": "munge"}
_NULL_DEVICE = os.makedev(1, 3)

_SLURM = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/run/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={port}
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
JobRequeue=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=3
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobs.txt
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=3600
KillWait=5
SlurmdParameters=config_overrides
{nodes}
PartitionName=cpu Nodes={cpu_nodes} Default=YES MaxTime=24:00:00 State=UP
PartitionName=gpu Nodes={gpu_nodes} MaxTime=24:00:00 State=UP
"""
_CGROUP = "ConstrainCores=no\nConstrainRAMSpace=no\nConstrainDevices=no\n"


def _fail(message: str) -> NoReturn:
    print(f"cluster.py: {message}", file=sys.stderr)
    raise SystemExit(2)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def install() -> None:
    """Install Debian's packages where a program is missing."""
    missing = {PACKAGES[name] for name in PACKAGES if _program(name) is None}
    if not missing:
        return
    if os.geteuid() != 0 or _program("apt-get") is None:
        _fail(
            f"expected {', '.join(sorted(PACKAGES))}, found some of them missing; "
            f"install {' and '.join(sorted(missing))} as root"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(
            # another installation may be going on
            ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=600,
        )


class Cluster:
    """The cluster in a folder: started, asked, disturbed and stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run = folder / "run"

    @classmethod
    def running(cls) -> "Cluster | None":
        """Return the cluster that this process runs in, if any."""
        folder = os.environ.get(FOLDER)
        return cls(Path(folder)) if folder else None

    @property
    def name(self) -> str:
        """Its name; every process of its jobs has it in the environment."""
        return f"tipcap-{self.folder.name}"

    def start(self) -> None:
        """Write the configuration, start all daemons, and wait until every node is idle."""
        self._claim_configuration()
        self._make_folders()
        self._write_configuration()
        self._start_daemons()

    def _start_daemons(self) -> None:
        """Start what does not run, and wait until every node is idle."""
        if _process(self._run / "munged.pid") is None:
            self._start_munge()
        if _process(self._run / "slurmctld.pid") is None:
            self.start_controller()
        for node in NODES:
            if _process(self._run / f"slurmd-{node}.pid") is None:
                self._daemon("slurmd", "-N", node)
        self._wait(lambda: set(self.nodes().values()) == {"idle"}, "nodes to be idle")

    def nodes(self) -> dict[str, str]:
        """Return the state of every node, with the reason where somebody gave one."""
        lines = self.ask("sinfo", "-h", "-N", "-o", "%N %T %E").splitlines()
        split = (line.split(maxsplit=1) for line in lines)
        return {node: state.removesuffix(" none") for node, state in split}

    def heal(self) -> None:
        """Make the cluster as good as new: all daemons run, every node is idle, no job is left.

        Raises:
            TimeoutError: it does not become so, not even with its state thrown away.
        """
        try:
            self._end_jobs()
            for node, state in self.nodes().items():
                if state != "idle":  # drained, or down
                    words = ("scontrol", "update", f"NodeName={node}", "State=RESUME")
                    self.ask(*words)
            self._start_daemons()
        except (TimeoutError, subprocess.SubprocessError):
            self._stop_daemons()
            for name in ("state", "spool"):
                shutil.rmtree(self.folder / name)
            self._make_folders()
            self._start_daemons()

    def _end_jobs(self) -> None:
        self.ask("scancel", "--user", "root")
        self._wait(lambda: not self.ask("squeue", "-h").strip(), "jobs to end")

    def start_controller(self) -> None:
        """Start the controller, with what it saved where it ran before."""
        self._daemon("slurmctld")
        self._wait(
            lambda: "is UP" in self.ask("scontrol", "ping"), "the controller to answer"
        )

    def kill_controller(self) -> None:
        """Kill the controller as a crash of its machine would, when it has saved what it was told before.

        One that has not gives the numbers of its last jobs away again, and the nodes drain themselves; and a job whose end
        it has not saved runs for it until the nodes register again, which is half an hour later.
        """
        time.sleep(SAVING_S)
        ended, saved = self.folder / "log/jobs.txt", self.folder / "state/job_state"
        self._wait(
            lambda: _written(saved) >= _written(ended),
            "the controller to save the end of a job",
        )
        self._end(self._run / "slurmctld.pid", signal.SIGKILL)

    def ask(self, *words: str) -> str:
        """Return what a command of SLURM prints; nothing where it fails or takes too long."""
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=PATIENCE_S / 4
            )
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout if done.returncode == 0 else ""

    def stop(self) -> None:
        """Cancel all jobs, stop all daemons, and take the configuration away."""
        if _process(self._run / "slurmctld.pid") is not None:
            with contextlib.suppress(TimeoutError):
                self._end_jobs()
        self._stop_daemons()
        for path in self._configuration_files():
            if _mark_of(path) == self._mark:
                path.unlink()

    def _stop_daemons(self) -> None:
        for file in sorted(self._run.glob("slurm*.pid")):
            self._end(file, signal.SIGTERM)
        self._kill_processes_of_jobs()
        self._end(self._run / "munged.pid", signal.SIGTERM)

    @property
    def _mark(self) -> str:
        return f"{MARK}{self.folder}"

    def _configuration_files(self) -> list[Path]:
        return [ETC / name for name in ("slurm.conf", "gres.conf", "cgroup.conf")]

    def _claim_configuration(self) -> None:
        """Make sure that no file of somebody else lies where ours must.

        Raises:
            SystemExit: one does, or a test cluster runs already.
        """
        for path in self._configuration_files():
            if not path.exists():
                continue
            mark = _mark_of(path)
            if mark is None:
                _fail(
                    f"{path}: expected no file, found one of another cluster; "
                    "run this on a machine that belongs to none"
                )
            other = Cluster(Path(mark.removeprefix(MARK)))
            if _process(other._run / "slurmctld.pid") is not None:
                _fail(f"{path}: expected no test cluster, found one in {other.folder}")
            other.stop()  # what a killed run left

    def _make_folders(self) -> None:
        for part in (
            "run",
            "state",
            "log",
            "gpu",
            *(f"spool/{node}" for node in NODES),
        ):
            (self.folder / part).mkdir(parents=True, exist_ok=True)

    def _write_configuration(self) -> None:
        ports = _free_ports(1 + len(NODES))
        host = socket.gethostname().split(".")[0]
        nodes, gpus = [], []
        for (node, num_gpus), port in zip(NODES.items(), ports[1:], strict=True):
            generic = f"Gres=gpu:a100:{num_gpus} " if num_gpus else ""
            nodes.append(
                f"NodeName={node} NodeAddr=127.0.0.1 NodeHostname={host} Port={port} "
                f"CPUs=16 RealMemory=64000 {generic}State=UNKNOWN"
            )
            for number in range(num_gpus):
                device = self.folder / "gpu" / f"{node}-{number}"
                os.mknod(device, 0o666 | stat.S_IFCHR, _NULL_DEVICE)
            if num_gpus:
                files = f"{self.folder}/gpu/{node}-[0-{num_gpus - 1}]"
                gpus.append(f"NodeName={node} Name=gpu Type=a100 File={files}")
        slurm = _SLURM.format(
            name=self.name,
            host=host,
            folder=self.folder,
            port=ports[0],
            nodes="\n".join(nodes),
            cpu_nodes=",".join(node for node, gpus in NODES.items() if not gpus),
            gpu_nodes=",".join(node for node, gpus in NODES.items() if gpus),
        )
        ETC.mkdir(exist_ok=True)
        contents = (slurm, "\n".join(["AutoDetect=off", *gpus, ""]), _CGROUP)
        for path, content in zip(self._configuration_files(), contents, strict=True):
            path.write_text(f"{self._mark}\n{content}")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self._daemon(
            "munged",
            f"--key-file={key}",
            f"--socket={self._run}/munge.socket",
            f"--pid-file={self._run}/munged.pid",
            f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={self.folder}/munge.seed",
        )

    def _daemon(self, name: str, *words: str) -> None:
        subprocess.run([_program(name) or name, *words], check=True, timeout=PATIENCE_S)

    def _wait(self, condition, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                log = (self.folder / "log/slurmctld.log").read_text(errors="replace")
                said = log.splitlines()[-1:]
                raise TimeoutError(
                    f"waited {PATIENCE_S} s for {what}; nodes: {self.nodes()}; the controller's log ends with {said}"
                )
            time.sleep(0.1)

    def _end(self, pid_file: Path, number: signal.Signals) -> None:
        pid = _process(pid_file)
        if pid is None:
            return
        os.kill(pid, number)
        deadline = time.monotonic() + PATIENCE_S / 4
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _kill_processes_of_jobs(self) -> None:
        mine = f"SLURM_CLUSTER_NAME={self.name}".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mine in environment.read_bytes().split(b"\0"):
                    os.kill(int(environment.parent.name), signal.SIGKILL)


def _written(path: Path) -> float:
    """Return when a file was written last; 0 where there is none yet."""
    return path.stat().st_mtime if path.exists() else 0.0


def _mark_of(path: Path) -> str | None:
    """Return the first line of a file that this program wrote."""
    if not path.exists():
        return None
    first = path.read_text("utf-8", "replace").partition("\n")[0]
    return first if first.startswith(MARK) else None


def _process(pid_file: Path) -> int | None:
    """Return the process that a file names, where it lives and is a daemon of ours."""
    try:
        pid = int(pid_file.read_text())
        program = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if program in PACKAGES else None


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main(words: list[str]) -> int:
    """Run a command inside a cluster and return its exit status."""
    if not words:
        _fail("expected a command to run in the cluster, found none")
    if sys.platform != "linux" or os.geteuid() != 0:
        _fail("expected root on Linux, found another user or system")
    install()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munge's socket must be within everyone's reach
    cluster = Cluster(folder)
    try:
        cluster.start()
        return subprocess.run(words, env={**os.environ, FOLDER: str(folder)}).returncode
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
