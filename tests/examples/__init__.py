"""The tests of the example shop.

It has to be beyond doubt, for it is what tells whether a migration lost anything.
"""
