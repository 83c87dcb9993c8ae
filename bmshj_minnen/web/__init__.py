"""The codec in a web page: a static site that encodes and decodes in the browser.

`codec/` and `page/` contain the site's JavaScript; `site` writes a site.
"""
