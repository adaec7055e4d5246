/* Owns the functions' signatures for PHP, as emalloc.stub.php says them; the test signatures.phpt compares. */

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_Emalloc_stats, 0, 0, IS_ARRAY, 0)
ZEND_END_ARG_INFO()

#define arginfo_Emalloc_map arginfo_Emalloc_stats

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_Emalloc_mark, 0, 0, IS_LONG, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_Emalloc_leaks, 0, 0, IS_ARRAY, 0)
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, since, IS_LONG, 0, "0")
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_Emalloc_top, 0, 0, IS_ARRAY, 0)
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, by, IS_STRING, 0, "\"peak\"")
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, limit, IS_LONG, 0, "20")
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_Emalloc_profile_start, 0, 0, _IS_BOOL, 0)
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, every, IS_LONG, 0, "524288")
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_MASK_EX(arginfo_Emalloc_profile_stop, 0, 0, MAY_BE_STRING|MAY_BE_FALSE)
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, format, IS_STRING, 0, "\"pprof\"")
	ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, by, IS_STRING, 0, "\"allocated\"")
ZEND_END_ARG_INFO()

ZEND_FUNCTION(Emalloc_stats);
ZEND_FUNCTION(Emalloc_map);
ZEND_FUNCTION(Emalloc_mark);
ZEND_FUNCTION(Emalloc_leaks);
ZEND_FUNCTION(Emalloc_top);
ZEND_FUNCTION(Emalloc_profile_start);
ZEND_FUNCTION(Emalloc_profile_stop);

static const zend_function_entry ext_functions[] = {
	ZEND_NS_FALIAS("Emalloc", stats, Emalloc_stats, arginfo_Emalloc_stats)
	ZEND_NS_FALIAS("Emalloc", map, Emalloc_map, arginfo_Emalloc_map)
	ZEND_NS_FALIAS("Emalloc", mark, Emalloc_mark, arginfo_Emalloc_mark)
	ZEND_NS_FALIAS("Emalloc", leaks, Emalloc_leaks, arginfo_Emalloc_leaks)
	ZEND_NS_FALIAS("Emalloc", top, Emalloc_top, arginfo_Emalloc_top)
	ZEND_NS_FALIAS("Emalloc", profile_start, Emalloc_profile_start, arginfo_Emalloc_profile_start)
	ZEND_NS_FALIAS("Emalloc", profile_stop, Emalloc_profile_stop, arginfo_Emalloc_profile_stop)
	ZEND_FE_END
};
