"""HDX Job Processor: asynchronous geodata previews and analytics for CKAN."""

__version__ = "0.1.0"
