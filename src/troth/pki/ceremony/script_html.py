"""The script as a page to print: one file, no scripts, nothing fetched."""

from __future__ import annotations

from html import escape

from troth.pki.ceremony import aloud
from troth.pki.ceremony.script import Script, Step

_STYLE = """
@page { size: A4; margin: 16mm 14mm 18mm; }
* { box-sizing: border-box; }
body { font: 10.5pt/1.4 "Source Serif 4", "Noto Serif", Georgia, "Liberation Serif", serif; color: #111; margin: 0 auto;
  max-width: 182mm; padding: 8mm 0; }
header { border-bottom: 2pt solid #111; padding-bottom: 3mm; margin-bottom: 5mm; }
h1 { font-size: 19pt; line-height: 1.15; margin: 0 0 1mm; }
header p { margin: 0; color: #444; }
h2 { font-size: 12.5pt; margin: 7mm 0 2mm; break-after: avoid; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font: 600 8pt/1.2 "Inter", "Noto Sans", "Liberation Sans", sans-serif; color: #444;
  border-bottom: 1pt solid #111; padding: 1mm 2mm; }
td { vertical-align: top; padding: 2mm; border-bottom: .5pt solid #999; }
tr { break-inside: avoid; }
thead { display: table-header-group; }
.facts td:first-child { width: 44mm; color: #444; }
.facts td { padding: 1mm 2mm; overflow-wrap: anywhere; }
.people td { height: 9mm; }
.steps { table-layout: fixed; }
.number { width: 9mm; text-align: right; font-variant-numeric: tabular-nums; }
.box { width: 9mm; } .time { width: 18mm; } .initials { width: 26mm; }
.steps td:nth-last-child(-n+2), .people td:last-child { border-left: .5pt solid #999; }
.box i { display: block; width: 4.5mm; height: 4.5mm; border: 1pt solid #111; }
.role { font: 600 8pt/1.3 "Inter", "Noto Sans", "Liberation Sans", sans-serif; text-transform: uppercase;
  letter-spacing: .04em; color: #444; display: block; }
code { font: 9pt/1.4 "Noto Sans Mono", "Liberation Mono", monospace; background: #f0f0f0; padding: .5mm 1.2mm;
  display: inline-block; margin-top: 1mm; overflow-wrap: anywhere; }
.digest { font: 9.5pt/1.55 "Noto Sans Mono", "Liberation Mono", monospace; margin: 1.5mm 0 0; }
.words { font-size: 9pt; color: #333; margin: .5mm 0 0; }
.blank { display: flex; gap: 2mm; align-items: end; margin-top: 3mm; font-size: 9pt; color: #444; }
.blank span { min-width: 24mm; } .blank b { flex: 1; border-bottom: .7pt solid #111; height: 6mm; }
footer { margin-top: 8mm; border-top: .5pt solid #999; padding-top: 2mm; font-size: 8.5pt; color: #444; }
@media print { body { padding: 0; max-width: none; } code { background: none; border: .5pt solid #bbb; } }
"""


def html_of(script: Script) -> str:
    """The page."""
    facts = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in script.facts)
    people = "".join(
        f"<tr><td>{escape(role.capitalize())}</td><td>{escape(name)}</td><td></td></tr>" for role, name in script.people
    )
    number, acts = 0, []
    for act in script.acts:
        rows = []
        for step in act.steps:
            number += 1
            rows.append(_row(number, step))
        acts.append(f"<h2>{escape(act.title)}</h2>{_HEAD}{''.join(rows)}</tbody></table>")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(script.title)}</title>'
        "<meta http-equiv=\"content-security-policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<header><h1>{escape(script.title)}</h1><p>Script of a ceremony: {escape(script.kind)}. "
        f"Plan {escape(script.plan_name)}, SHA-256 {script.plan_digest.hex()[:16]}…</p></header><main>"
        f'<h2>What is made</h2><table class="facts"><tbody>{facts}</tbody></table>'
        f'<h2>People</h2><table class="people"><thead><tr><th>Role</th><th>Name</th><th>Signature</th></tr></thead>'
        f"<tbody>{people}</tbody></table>{''.join(acts)}</main>"
        f"<footer>{escape(aloud.program())}. Digests are SHA-256, read in groups of four; each word stands for ten "
        "bits. A step that fails stops the ceremony; the same plan can be run again.</footer></body></html>\n"
    )


_HEAD = (
    '<table class="steps"><thead><tr><th class="number">No.</th><th class="box">Done</th><th>Step</th>'
    '<th class="time">Time</th><th class="initials">Initials</th></tr></thead><tbody>'
)


def _row(number: int, step: Step) -> str:
    parts = [f'<span class="role">{escape(step.role)}</span>{escape(step.text)}']
    if step.command is not None:
        parts.append(f"<br><code>{escape(step.command)}</code>")
    if step.digest is not None:
        parts.append(
            f'<p class="digest">{aloud.groups(step.digest)}</p><p class="words">{aloud.words(step.digest)}</p>'
        )
    parts += [f'<div class="blank"><span>{escape(name)}</span><b></b></div>' for name in step.blank]
    cells = f'<td class="number">{number}</td><td class="box"><i></i></td><td>{"".join(parts)}</td>'
    return f"<tr>{cells}<td></td><td></td></tr>"
