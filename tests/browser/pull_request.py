"""A comment on a pull request, as a code host shows the Markdown of a plan."""

from markdown_it import MarkdownIt

STYLE = """
body { background: #fff; color: #1f2328; margin: 0; padding: 24px; width: 860px;
  font: 14px/1.5 "Liberation Sans", Arial, sans-serif }
header, main { border: 1px solid #d1d9e0; padding: 8px 16px }
header { background: #f6f8fa; border-radius: 6px 6px 0 0; color: #59636e }
header b { color: #1f2328 }
main { border-radius: 0 0 6px 6px; border-top: 0; padding: 8px 16px 16px }
table { border-collapse: collapse; margin: 0 0 16px }
th, td { border: 1px solid #d1d9e0; padding: 6px 13px; text-align: left; vertical-align: top }
td:nth-child(2) { white-space: nowrap }
code, pre { background: #f6f8fa; border-radius: 6px; font: 12px/1.5 "Liberation Mono", monospace }
code { padding: 2px 5px }
pre { overflow: auto; padding: 12px 16px }
pre code { padding: 0 }
summary { cursor: default; margin: 4px 0 }
"""


def comment(markdown: str) -> str:
    """Return a page with a comment, of which the first folded part is open."""
    text = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    return (
        f'<!doctype html><html lang="en"><title>A comment</title><style>{STYLE}</style>'
        "<header><b>github-actions</b> commented</header>"
        f"<main>{text.replace('<details>', '<details open>', 1)}</main></html>"
    )
