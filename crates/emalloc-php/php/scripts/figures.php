<?php
// What PHP's functions say of memory, as truths that hold on every allocator.
function say(string $what, bool $true): void
{
    echo $what, ": ", $true ? "yes" : "no", "\n";
}

$before = memory_get_usage();
$text = str_repeat("x", 1 << 20);
$more = memory_get_usage() - $before;
say("a text of 1 MB counts as that", $more >= 1 << 20 && $more < (1 << 20) + 65536);
unset($text);
say("and no more once it is gone", memory_get_usage() - $before < 1024);
say("the peak remembers it", memory_get_peak_usage() - $before >= 1 << 20);
memory_reset_peak_usage();
say("until it is reset", memory_get_peak_usage() - memory_get_usage() < 65536);
say("what is held is at least what is used", memory_get_usage(true) >= memory_get_usage());
say("and its peak at least that", memory_get_peak_usage(true) >= memory_get_usage(true));

$texts = [];
for ($i = 0; $i < 20000; $i++) {
    $texts[] = str_repeat("y", 1000);
}
$held = memory_get_usage(true);
$texts = null;
gc_mem_caches();
say("collecting gives back", memory_get_usage(true) <= $held - (10 << 20));

$list = str_repeat("z", 20 << 20);
say("a limit below what is held is refused", @ini_set("memory_limit", "10M") === false);
$list = null;
say("and taken when there is less", @ini_set("memory_limit", "10M") !== false);
say("it is in force", ini_get("memory_limit") === "10M");
