"""How far a potential can be trusted: errors on unseen frames, crystals, contacts, reactions, dynamics.

`accuracy` compares a potential with labels; the other modules need none and ask any potential the same
questions, a student and its teacher alike.
"""
