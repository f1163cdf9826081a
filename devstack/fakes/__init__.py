"""Mixpanel, Google Analytics 4 and a webhook's receiver, as their documentation says they behave.

Written from the documentation and not from our sinks: a limit that a sink gets
wrong has to show here.
"""
