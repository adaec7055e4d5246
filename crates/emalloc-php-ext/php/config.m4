dnl The extension's glue. The library with all the logic is built before, by cargo: see scripts/php-extension.sh.

PHP_ARG_ENABLE([emalloc],
  [whether to enable emalloc],
  [AS_HELP_STRING([--enable-emalloc], [Enable emalloc])])

PHP_ARG_WITH([emalloc-library],
  [the library of emalloc],
  [AS_HELP_STRING([--with-emalloc-library=FILE], [libemalloc_php_ext.a])],
  [no], [no])

if test "$PHP_EMALLOC" != "no"; then
  if test ! -f "$PHP_EMALLOC_LIBRARY"; then
    AC_MSG_ERROR([--with-emalloc-library=FILE must name libemalloc_php_ext.a])
  fi
  dnl What is rare lies behind what a process runs when it ends (behind.ld, which scripts/php-extension.sh brings along).
  dnl What it exports is get_module. It stays mapped when PHP unloads it, for whoever still knows our handlers.
  EMALLOC_SHARED_LIBADD="-Wl,$PHP_EMALLOC_LIBRARY -Wl,--exclude-libs,ALL -Wl,-z,nodelete -Wl,--gc-sections -Wl,--strip-debug -Wl,-T,$abs_srcdir/behind.ld -lm"
  PHP_SUBST(EMALLOC_SHARED_LIBADD)
  PHP_NEW_EXTENSION(emalloc, emalloc.c memory.c direct.c frames.c functions.c ending.c, $ext_shared,, -DZEND_ENABLE_STATIC_TSRMLS_CACHE=1 -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter)
fi
