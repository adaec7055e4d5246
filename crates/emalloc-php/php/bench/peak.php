<?php
// Loaded before a script of the bench: leaves behind how much memory the process has had at most, in KB.
if (getenv("BENCH_PEAK")) {
    register_shutdown_function(function () {
        preg_match('/VmHWM:\s+(\d+)/', file_get_contents("/proc/self/status"), $match);
        file_put_contents(getenv("BENCH_PEAK"), $match[1]);
    });
}
