"""The viewer in the browser, through viser: a link instead of a window, for several people."""
