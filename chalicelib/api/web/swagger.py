"""The page at /docs: Swagger UI, drawing the openapi.json that stands beside it.

The page is a constant and names nothing absolute of ours, so every stage's prefix gets the same.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final

# Change the version and both hashes together: they are of the files in
# `npm pack swagger-ui-dist@VERSION`, which the CDN serves unmodified, each by
# `openssl dgst -sha384 -binary FILE | base64`.
VERSION: Final = "5.35.0"
_SCRIPT_URL: Final = f"https://cdn.jsdelivr.net/npm/swagger-ui-dist@{VERSION}/swagger-ui-bundle.js"
_SCRIPT_HASH: Final = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"
_STYLE_URL: Final = f"https://cdn.jsdelivr.net/npm/swagger-ui-dist@{VERSION}/swagger-ui.css"
_STYLE_HASH: Final = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"

# Swagger UI darkens itself by a class on <html>; a bare element selector yields to it.
_STYLE: Final = """
html { background: #fafafa; }
body { margin: 0; }
.notice { margin: 2rem; font: 1rem sans-serif; }
"""

# API Gateway answers /docs/ as it does /docs, hence the two places a relative URL may start from.
# validatorUrl is null because the default sends the address of a private API to a public service.
_INIT: Final = """
const spec = location.pathname.endsWith("/") ? "../openapi.json" : "./openapi.json";
const loaded = typeof SwaggerUIBundle !== "undefined";
document.getElementById("unreachable").hidden = loaded;
document.getElementById("description").href = spec;
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.classList.toggle("dark-mode", dark);
if (loaded) {
  SwaggerUIBundle({
    url: spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
}
"""

PAGE: Final = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Recorder API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{_STYLE_URL}"
  integrity="{_STYLE_HASH}" crossorigin="anonymous" referrerpolicy="no-referrer">
<style>{_STYLE}</style>
</head>
<body>
<noscript><p class="notice">Swagger UI needs JavaScript. The API is described in
  <a href="./openapi.json">openapi.json</a>.</p></noscript>
<p id="unreachable" class="notice" hidden>Swagger UI could not be loaded. The API is described in
  <a id="description" href="./openapi.json">openapi.json</a>.</p>
<main id="swagger-ui"></main>
<script src="{_SCRIPT_URL}"
  integrity="{_SCRIPT_HASH}" crossorigin="anonymous" referrerpolicy="no-referrer"></script>
<script>{_INIT}</script>
</body>
</html>
"""


def inline(text: str) -> str:
    """What allows exactly this inline script or style, and no other."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


# Swagger UI puts its icons in data: URLs, and "Try it out" calls the API this page is served by.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"script-src {_SCRIPT_URL} {inline(_INIT)}",
        f"style-src {_STYLE_URL} {inline(_STYLE)}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
