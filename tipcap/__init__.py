"""TIPCap: text data-centric image captioning with interactive prompts, reproduced from end to end."""

from tipcap.arithmetic import pin_arithmetic

__version__ = "0.1.0"

pin_arithmetic()  # before anything imports a numerical library
