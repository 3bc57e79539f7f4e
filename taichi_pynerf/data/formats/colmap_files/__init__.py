"""The files of COLMAP's sparse models, as bytes and text: checks before pycolmap reads them."""
