"""Odd files, all made in code, each with the exact outcome that it must have.

A case is a name, its bytes and its outcome: an error's code, or ``layer rows/drawn type`` for each layer and then
the warnings with their counts.  ``test_corpus`` runs them all.
"""
