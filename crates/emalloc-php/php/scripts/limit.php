<?php
// The limit is reached; what is to run at the end runs, and has memory again.
ini_set("memory_limit", "32M");
ini_set("display_errors", "0");
register_shutdown_function(function () {
    $error = error_get_last();
    echo "at the end: ", preg_replace('/\d+ bytes\)/', 'N bytes)', $error["message"]), "\n";
    $list = range(1, 100000);
    echo count($list), "\n";
    echo memory_get_usage() < 32 << 20 ? "below the limit\n" : "above the limit\n";
});

function fill(): array
{
    $texts = [];
    while (true) {
        $texts[] = str_repeat("x", 100000);
    }
    return $texts;
}

fill();
echo "not reached\n";
