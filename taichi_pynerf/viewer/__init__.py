"""The live viewer: a Taichi GGUI window that shows a model while it trains, or afterwards.

Everything except `ggui` is plain code that needs no screen. `docs/viewer.md` explains how to use
the viewer and how it draws.
"""
