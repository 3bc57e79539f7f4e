"""The live viewer: a Taichi GGUI window that shows a model while it trains, or afterwards.

All but `ggui` is plain code that needs no screen. `docs/viewer.md` says how
to use it and how the drawing works.
"""
