"""How good the images are: published protocols and ablations, a command per table row.

    python -m benchmarks.quality --list
    python -m benchmarks.quality lego400-pyramid lego400-single --data_dir path/to/scenes
    python -m benchmarks.quality demo-steps            every row of a table

`rows.py` says what a row is, `published.py` what others report, `row_runs.py` trains and tests,
`tables.py` writes Markdown.
"""
