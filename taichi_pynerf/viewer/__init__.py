"""The live viewer: shows a model while it trains, or afterwards, in a Taichi GGUI window (`ggui`)
or on a page in the browser (`web`).

Everything else is plain code that needs no screen. `docs/viewer.md` explains how to use
the viewer and how it draws.
"""
