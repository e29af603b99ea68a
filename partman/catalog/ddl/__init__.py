"""Generate the statements that turn one catalog into another, and the statements that revert them.

``remedy.plan`` returns them in an order in which they can run. ``online.steps`` divides them into
commits, in forms that block other sessions only briefly.
"""
