"""The viewer in the browser, by way of viser: a link instead of a window, for any number."""
