<?php
// CommonMark: a document of some 40 KB made into HTML.
[, $rounds] = $argv;
require_once "League/CommonMark/autoload.php";

$section = <<<'MD'
## A section with *emphasis*

Some **strong** text with `code`, a [link](http://example.org/ "title") and an ![image](/i.png).
A line that breaks,  
and <b>HTML</b> in it &amp; entities.

* one
* two
  * two and a half
  * [a reference][ref]
* three

1. first
2. second

> a quotation
> of two lines

```php
echo "code";
```

| a | b |
|---|--:|
| 1 | 2 |

[ref]: http://example.net/

MD;
$environment = new \League\CommonMark\Environment\Environment();
$environment->addExtension(new \League\CommonMark\Extension\CommonMark\CommonMarkCoreExtension());
$environment->addExtension(new \League\CommonMark\Extension\Table\TableExtension());
$converter = new \League\CommonMark\MarkdownConverter($environment);
$document = str_repeat($section, 80);
$length = 0;
for ($round = 0; $round < $rounds; $round++) {
    $length += strlen($converter->convert($document)->getContent());
}
echo $length, "\n";
