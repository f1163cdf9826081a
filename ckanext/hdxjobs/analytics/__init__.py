"""The analytics wing: a tracked event reaches its sinks.

An empty room so far: only the queue ``analytics_q`` and its worker exist.
The hallway will be: signal -> event -> envelope -> outbox -> analytics_q ->
batch -> sink -> receipt.
"""
