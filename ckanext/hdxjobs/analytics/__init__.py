"""Analytics: what happens on the site reaches the services that count it, and no page waits for them.

The hallway::

    signal, hook or beacon
      -> Event      what happened, one frozen class each      (catalogue, hooks)
      -> Envelope   with id, visitor hash and the clock's time; nothing personal   (privacy, capture)
      -> outbox     a row a sink, in the save's own transaction or after the response
      -> analytics_q   one coalesced bell: "there is something to deliver"
      -> batch      claimed under a lease                      (job)
      -> Receipt    delivered: the row goes; refused: a dead letter; neither: tried again   (sinks)

The row is the truth and the queue a doorbell, as in the geo wing.
"""
