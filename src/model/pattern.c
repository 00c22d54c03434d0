/* Module names against the keys of rank_pattern and alpha_pattern, which are regular expressions to PEFT: a key stands for a
 * module when it matches from the name's beginning, or from behind one of its dots, to its end.
 *
 * The pattern is a file's, so its length and the steps of a match are bounded.
 */
#include "model/adapter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <string.h>

enum { MAX_PATTERN = 4096, MAX_STEPS = 1 << 20 };

static ft_status refuse(const char *pattern, int code)
{
    PCRE2_UCHAR why[128] = "";
    pcre2_get_error_message(code, why, sizeof why);
    return ft_fail(FT_EUNSUPPORTED, "\"%.200s\" cannot be matched: %s", pattern, (const char *)why);
}

static ft_status match(const pcre2_code *code, const char *pattern, ft_str module, bool *matches)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    ft_status st = data && context ? FT_OK : ft_fail(FT_ENOMEM, "out of memory for a match");
    if (st == FT_OK) {
        pcre2_set_match_limit(context, MAX_STEPS);
        int rc = pcre2_match(code, (PCRE2_SPTR)module.p, module.n, 0, PCRE2_ANCHORED, data, context);
        *matches = rc >= 0;
        if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
            st = refuse(pattern, rc);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    return st;
}

ft_status ft_adapter__pattern(const char *pattern, ft_str module, bool *matches)
{
    int error;
    PCRE2_SIZE at;
    *matches = false;
    if (strlen(pattern) > MAX_PATTERN)
        return ft_fail(FT_EUNSUPPORTED, "a pattern of %zu bytes, %d are supported", strlen(pattern), MAX_PATTERN);
    /* by itself first: a parenthesis must not close what stands around it */
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, 0, &error, &at, NULL);
    if (!code)
        return refuse(pattern, error);
    pcre2_code_free(code);
    char *whole = ft_strf("(.*\\.)?(%s)$", pattern);
    if (!whole)
        return FT_ENOMEM;
    code = pcre2_compile((PCRE2_SPTR)whole, PCRE2_ZERO_TERMINATED, PCRE2_DOLLAR_ENDONLY, &error, &at, NULL);
    ft_free(whole);
    ft_status st = code ? match(code, pattern, module, matches) : refuse(pattern, error);
    pcre2_code_free(code);
    return st;
}
