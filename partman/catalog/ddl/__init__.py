"""The statements that turn one catalog into another, and those that go back.

``plan.plan`` finds them, in the order in which they can run; ``online.steps`` divides them into
commits, in the forms that nobody waits for.
"""
