"""Quality of images: published protocols and ablations, with a command per table row.

    python -m benchmarks.quality --list
    python -m benchmarks.quality lego400-pyramid lego400-single --data_dir path/to/scenes
    python -m benchmarks.quality demo-steps            every row of a table

`rows.py` defines the rows, `published.py` lists what others report, `row_runs.py` trains and tests,
`curves.py` follows PSNR over training, `tables.py` writes Markdown, `pictures.py` draws curves.
`page.py` makes the tables of docs/results.md from kept results, and `history.py` says which of them
are old.
"""
