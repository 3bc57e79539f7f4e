"""A headless Chromium whose WebGL2 is software, with a profile of its own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.extras import optional

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-background-networking", "--no-first-run",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage",
)  # fmt: skip


@contextlib.contextmanager
def open_chromium(width: int, height: int) -> Iterator[Any]:
    """A driver of a window with so many pixels.

    Raises:
        ConfigError: Chromium or its driver is not installed.
        MissingPackageError: Selenium is not installed.
    """
    webdriver: Any = optional("selenium.webdriver", "test")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)}: not installed, and needed to draw pages")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        service = webdriver.ChromeService(programs["chromedriver"])
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield driver
        finally:
            driver.quit()
