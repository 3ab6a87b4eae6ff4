from tipcap.errors import InputError as InputError
from tipcap.interface.captioner import Captioner as Captioner
from tipcap.interface.fitting import fit as fit
from tipcap.interface.results import tables as tables

__version__: str
