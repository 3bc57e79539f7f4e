"""A headless Chromium with WebGL2 and WebGPU in software, for pages as their readers open them."""

import contextlib
import shutil
import tempfile

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-background-networking", "--no-first-run",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage",
    # A canvas of WebGPU in software needs that all is drawn with Vulkan.
    "--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-vulkan=swiftshader",
    "--use-webgpu-adapter=swiftshader",
)  # fmt: skip


def missing() -> str | None:
    """What is not here to start a browser with, in words."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    programs = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"no {' and no '.join(programs)} here" if programs else None


@contextlib.contextmanager
def open_browser(*more_flags: str, size: tuple[int, int] = (320, 240)):
    """A browser with a profile of its own; skips the test where there is none."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"pages are not tested in a browser: {reason}")
    from selenium import webdriver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, *more_flags, f"--user-data-dir={profile}",
                     "--window-size={},{}".format(*size)):  # fmt: skip
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.set_script_timeout(120)
            yield driver
        finally:
            driver.quit()


def awaited(driver, expression: str, *arguments):
    """The value of a promise in the page; an error there is one here."""
    found = driver.execute_async_script(
        f"""
        const done = arguments[arguments.length - 1], given = Array.from(arguments).slice(0, -1);
        (async () => ({expression}))().then(
          (value) => done({{value}}), (error) => done({{error: String(error.stack || error)}}));
        """,
        *arguments,
    )
    assert "error" not in found, found["error"]
    return found["value"]
