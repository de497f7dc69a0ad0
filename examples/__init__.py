"""Applications to try the toolkit on; they know nothing of it.
`shop` is the one of the demo, and `shop_v2_values` the hand-written part of its rewriting.
"""
