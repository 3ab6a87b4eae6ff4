"""tipcap: the reproduction of "Text Data-Centric Image Captioning with Interactive Prompts"."""

__version__ = "0.1.0"
