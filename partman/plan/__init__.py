"""Pending migrations, tried on a scratch database: what each would do to the live one.

``trial.make_plan`` tries them, ``recorder.Recorder`` looks at each statement, ``judge.judge`` says
what it comes to.
"""
