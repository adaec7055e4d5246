<?php
// Twig: templates with inheritance, loops, filters and macros, rendered again and again.
[, $rounds] = $argv;
require_once "Twig/autoload.php";

$templates = [
    "layout" => '<html><head><title>{% block title %}{% endblock %}</title></head><body>
{% for item in menu %}<a href="{{ item.url }}"{% if item.active %} class="active"{% endif %}>{{ item.text|upper }}</a>{% endfor %}
{% block content %}{% endblock %}</body></html>',
    "macros" => '{% macro cell(value, kind) %}<td class="{{ kind|default("plain") }}">{{ value }}</td>{% endmacro %}',
    "page" => '{% extends "layout" %}{% import "macros" as m %}{% block title %}{{ title }}{% endblock %}
{% block content %}<table>{% for row in rows %}<tr>{{ m.cell(row.id, "number") }}{{ m.cell(row.name) }}
{{ m.cell(row.tags|join(", ")) }}{{ m.cell(row.price|number_format(2)) }}</tr>
{% else %}nothing{% endfor %}</table>{{ rows|length }} rows, {{ text|slice(0, 40) ~ "..." }}{% endblock %}',
];
$twig = new \Twig\Environment(new \Twig\Loader\ArrayLoader($templates), ["cache" => false]);
$rows = [];
for ($i = 0; $i < 60; $i++) {
    $rows[] = ["id" => $i, "name" => "<row $i>", "tags" => ["a", "b$i"], "price" => $i * 1.5];
}
$length = 0;
for ($round = 0; $round < $rounds; $round++) {
    $length += strlen($twig->render("page", [
        "title" => "Page $round",
        "menu" => [["url" => "/", "text" => "home", "active" => true], ["url" => "/x", "text" => "x", "active" => false]],
        "rows" => $rows,
        "text" => str_repeat("words ", 20),
    ]));
}
echo $length, "\n";
