"""getsei: lithium transport through solid-electrolyte interphases, from structure to reactive flux."""

__version__ = "0.1.0"
