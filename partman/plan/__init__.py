"""Predict what pending migrations would do to the live database, by running them on a scratch one.

``trial.make_plan`` runs them, ``recorder.Recorder`` observes each statement, ``judge.judge``
derives each migration's level.
"""
