<?php

/**
 * @generate-function-entries
 *
 * Sizes are in bytes. Where blocks are sampled (see emalloc.sample), bytes and blocks are estimates: each sample counts
 * for as many as its chance says. With a sample of 1 every block is noted, and all figures are exact.
 */

namespace Emalloc;

/**
 * Figures: the mode; the heap (usage, peak, real_usage, real_peak, and in heap mode its segments, free pages and size
 * classes); requests that ended and, with emalloc.leaks, what the last one left; the sampling and what it counted in this request.
 *
 * @return array{mode: string, heap: array<string, mixed>, requests: array{ended: int, left_bytes?: int},
 *     sampling: array<string, int>}
 */
function stats(): array {}

/**
 * What the heap looks like, in heap mode; empty otherwise. For each segment its pages, a letter for each: H header
 * (and the first blocks of small classes), s small blocks, L a large block, . free.
 *
 * @return list<array{address: string, size: int, kind: string, blocks: int, pages: string}>
 */
function map(): array {}

/** The number of the next sample, for leaks(). */
function mark(): int {}

/**
 * Lines of scripts whose blocks are in use now, those of most bytes first; only blocks since a mark(), if one is given.
 * Nothing, and a warning, unless blocks are sampled: a small leak is seen with emalloc.sample=1 only.
 *
 * @return list<array{file: string, line: int, function: string, bytes: int, blocks: int}>
 */
function leaks(int $since = 0): array {}

/**
 * Lines of scripts by what they had in use when most was in use ("peak"), have in use ("live"), or have allocated in all
 * ("allocated"). Nothing, and a warning, unless blocks are sampled.
 *
 * @return list<array{file: string, line: int, function: string, bytes: int, blocks: int}>
 */
function top(string $by = "peak", int $limit = 20): array {}

/**
 * Begins to sample anew, one block every so many bytes; 1: every block. False if another extension's memory handlers
 * stand in the way. Ends with the request at the latest.
 */
function profile_start(int $every = 524288): bool {}

/**
 * Ends that, and answers the profile: "pprof" (compressed, as `go tool pprof` and others read it, with all figures) or
 * "collapsed" (text for flame graphs, with the figure that $by names as in top()). False if nothing is sampled.
 */
function profile_stop(string $format = "pprof", string $by = "allocated"): string|false {}
