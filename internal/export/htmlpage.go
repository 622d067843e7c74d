package export

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
)

// pageStyle is the style of messages.html. Its hash is in the policy of the
// page, so it holds nothing that depends on the export.
const pageStyle = `
:root{color-scheme:light}
body{margin:1.5rem auto;padding:0 1rem;max-width:62rem;font:1rem/1.45 "Noto Sans","Segoe UI","Helvetica Neue",Arial,"DejaVu Sans",sans-serif;color:#111;background:#fff;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.2rem;line-height:1.3;margin:2.2rem 0 .2rem}
h3{font-size:1rem;margin:1rem 0 .2rem}
p{margin:.15rem 0}
h1,h2,h3,p,th{overflow:clip}
a{color:#00458b}
table{width:100%;table-layout:fixed;border-collapse:collapse;margin:.5rem 0 0}
th{text-align:start;font-size:.85rem;border-bottom:2px solid #444;padding:.25rem .5rem}
td{vertical-align:top;overflow:clip;border-bottom:1px solid #bbb;padding:.4rem .5rem}
th:first-child{width:6.2rem}
th:nth-child(2){width:24%}
time{font-variant-numeric:tabular-nums}
.a{font-size:.85rem;color:#444;display:block}
.g{font-size:.8rem;color:#444;display:block}
.t{display:block;white-space:pre-wrap;unicode-bidi:plaintext;text-align:start;overflow:clip;tab-size:4}
del.t{color:#444;border-inline-start:3px solid #999;padding-inline-start:.5rem;margin-bottom:.3rem}
ins.t{text-decoration:none}
.n{font-size:.9rem;font-style:italic}
.n bdi{font-style:normal}
.x{border:1px dashed #444;padding:.3rem .5rem;margin:.15rem 0}
.d{font-size:.72rem;line-height:1.35;color:#444;margin-top:.3rem}
.c{font-size:.7em;font-weight:bold;border:1px solid #111;border-radius:2px;padding:0 .2em;margin:0 .1em;white-space:nowrap;text-decoration:none;display:inline-block;line-height:1.3}
ul{margin:.2rem 0;padding-inline-start:1.5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.5rem 0}
dd{margin:0}
@page{margin:18mm 15mm;@bottom-right{content:"page " counter(page) " of " counter(pages);font:7.5pt "Noto Sans",Arial,"DejaVu Sans",sans-serif;color:#333}}
@media print{
html{font-size:9.5pt}
body{margin:0;padding:0;max-width:none}
a{color:inherit;text-decoration:none}
h2,h3,section>p{break-inside:avoid;break-after:avoid}
thead{display:table-header-group}
thead,tr{break-inside:avoid}
.i{break-before:page}
p,.t{orphans:2;widows:2}
}
`

// pagePolicy lets the page load nothing at all and use its own style.
func pagePolicy() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

// page holds the pieces of messages.html, which are executed one after the
// other. Everything that was written by people goes through "u" (a name, an
// address, an id) or "t" (a text), which isolate its direction.
var page = template.Must(template.New("").Parse(`
{{- define "r"}}{{range .}}{{if .Mark}}<bdi class="c">{{.Mark}}</bdi>{{else}}{{.Text}}{{end}}{{end}}{{end}}
{{- define "u"}}<bdi dir="auto">{{template "r" .}}</bdi>{{end}}
{{- define "name"}}{{if .Name}}{{template "u" .Name}}{{else if .Address}}{{template "u" .Address}}{{else}}<i>unknown</i>{{end}}{{end}}
{{- define "who"}}{{template "name" .}}{{if .Nick}} <span class="a">in the room as {{template "u" .Nick}}</span>{{end}}{{if .Name}} <span class="a">{{template "u" .Address}}</span>{{end}}{{end}}
{{- define "person"}}{{template "name" .}}{{if .Name}} ({{template "u" .Address}}){{end}}{{if .Nick}}, in the room as {{template "u" .Nick}}{{end}}{{end}}
{{- define "conversation"}}{{range $i, $p := .}}{{if $i}} and {{end}}{{template "person" $p}}{{else}}Sender and recipient unknown{{end}}{{end}}
{{- define "details"}}<p class="d">{{range $i, $d := .}}{{if $i}} · {{end}}{{.Label}}{{if .Value}} {{template "u" .Value}}{{end}}{{end}}</p>{{end}}
{{- define "number"}} <span class="g">No. {{.}}</span>{{end}}

{{- define "head"}}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{.Policy}}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Flat}}</title>
<style>{{.Style}}</style>
</head>
<body>
<header>
<h1>{{if .Title}}{{template "u" .Title}}{{else}}Messages{{end}}{{if .Part}}, part {{.Part}}{{end}}</h1>
{{if .Period}}<p>Period: {{template "u" .Period}}</p>
{{end}}<p>Instant messages, one section for each conversation and day. Times are local times of {{.Zone}}.</p>
<p>A character that cannot be seen is shown by its number in a frame, such as <bdi class="c">U+202E</bdi>.</p>
<p><a href="#summary">Summary and contents</a> are at the end.</p>
</header>
<main>
{{end}}

{{- define "slice"}}<section id="s{{.Number}}">
<h2>{{template "conversation" .Conversation}}, {{.Day}}{{if gt .Part 1}}, part {{.Part}}{{end}}</h2>
{{if .Zone}}<p>Time zone: {{.Zone}} ({{.Offset}})</p>
{{end}}{{if .People}}<p>Taking part: {{range $i, $p := .People}}{{if $i}}, {{end}}{{template "person" $p}}{{end}}</p>
{{end}}<table>
<thead><tr><th scope="col">{{.Short}}</th><th scope="col">From</th><th scope="col">Message, {{range $i, $p := .Conversation}}{{if $i}} and {{end}}{{template "name" $p}}{{else}}sender and recipient unknown{{end}}</th></tr></thead>
<tbody>
{{end}}

{{- define "event"}}<tr id="m{{.Number}}"><td>{{if .Stamp}}<time datetime="{{.Stamp}}">{{.Clock}}</time>{{else}}no date{{end}}{{template "number" .Number}}</td><td>{{template "who" .From}}</td><td>
{{- range .Blocks}}
{{- if .Missing}}<p class="x">{{.Label}}{{if .Text}} {{template "u" .Text}}{{end}}</p>
{{- else if .Said}}{{if .Label}}<p class="n">{{.Label}}</p>{{end}}
{{- if .Old}}<del class="t" dir="auto" lang="">{{template "r" .Text}}</del>
{{- else if .New}}<ins class="t" dir="auto" lang="">{{template "r" .Text}}</ins>
{{- else}}<div class="t" dir="auto" lang="">{{template "r" .Text}}</div>{{end}}
{{- else}}<p{{if not .Plain}} class="n"{{end}}>{{.Label}}{{range .Items}} {{template "u" .}}{{end}}{{if .By}} {{.Between}} {{template "person" .By}}{{end}}{{.After}}</p>{{end}}
{{- end}}{{range .Details}}{{template "details" .}}{{end}}</td></tr>
{{end}}

{{- define "end"}}</tbody>
</table>
</section>
{{end}}

{{- define "summary"}}</main>
<section id="summary" class="i">
<h2>Summary</h2>
<dl>
<dt>Messages, with edits, retractions and reactions</dt><dd>{{.Messages}}</dd>
<dt>Of these, not readable</dt><dd>{{.Unreadable}}</dd>
<dt>Conversations</dt><dd>{{.Conversations}}</dd>
<dt>Sections</dt><dd>{{.Slices}}</dd>
{{if .First}}<dt>First message</dt><dd>{{.First}}</dd>
<dt>Last message</dt><dd>{{.Last}}</dd>
{{end}}{{if .Undated}}<dt>Without a date</dt><dd>{{.Undated}}</dd>
{{end}}</dl>
{{if .Slices}}<h2>Contents</h2>
{{end}}{{end}}

{{- define "contents"}}<h3>{{template "conversation" .}}</h3>
<ul>
{{end}}
{{- define "entry"}}<li><a href="#s{{.Number}}">{{.Day}}{{if gt .Part 1}}, part {{.Part}}{{end}}</a>, {{.Messages}} {{if eq .Messages 1}}message{{else}}messages{{end}}{{if .Unreadable}}, {{.Unreadable}} not readable{{end}}</li>
{{end}}
{{- define "foot"}}</section>
</body>
</html>
{{end}}`))
