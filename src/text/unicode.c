/* UTF-8 and the byte-level alphabet (see unicode.h); character classes come from utf8proc. */
#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

size_t ft_utf8__valid(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        while (i + 8 <= n && (memcpy(&eight, p + i, 8), !(eight & 0x8080808080808080u)))
            i += 8;
        if (i == n)
            break;
        size_t k = ft_utf8_length(p + i, n - i);
        if (!k)
            break;
        i += k;
    }
    return i;
}

size_t ft_utf8__len(const char *p, size_t n)
{
    unsigned char c = (unsigned char)*p;
    size_t k = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return FT_MIN(k, n);
}

bool ft_unicode__is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool ft_unicode__is_word(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return false;
    }
}

size_t ft_unicode__leading_space(ft_str s)
{
    size_t i = 0;
    while (i < s.n) {
        utf8proc_int32_t c;
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s.p + i, (utf8proc_ssize_t)(s.n - i), &c);
        if (k <= 0 || !ft_unicode__is_space(c))
            break;
        i += (size_t)k;
    }
    return i;
}

size_t ft_unicode__trailing_space(ft_str s)
{
    size_t end = s.n;
    while (end > 0) {
        size_t at = end - 1;
        while (at > 0 && end - at < 4 && ((unsigned char)s.p[at] & 0xc0) == 0x80)
            at--;
        if (ft_unicode__leading_space((ft_str){s.p + at, end - at}) != end - at)
            break;
        end = at;
    }
    return s.n - end;
}

ft_status ft_unicode__unmark(ft_buf *out, ft_str p)
{
    for (size_t i = 0; i < p.n;) {
        bool mark = p.n - i >= FT_SPACE_MARK_BYTES && memcmp(p.p + i, FT_SPACE_MARK, FT_SPACE_MARK_BYTES) == 0;
        FT_RETURN(ft_buf_putc(out, mark ? ' ' : p.p[i]));
        i += mark ? FT_SPACE_MARK_BYTES : 1;
    }
    return FT_OK;
}

static bool stands_for_itself(int32_t c)
{
    return (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

int32_t ft_bytes__char(uint8_t byte)
{
    if (stands_for_itself(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100 + byte;
    return byte == 0xad ? 0x143 : 0x121 + (byte - 0x7f); /* 0x7f..0xa0 follow the 33 below '!' */
}

int ft_bytes__byte(int32_t c)
{
    if (stands_for_itself(c))
        return c;
    if (c >= 0x100 && c <= 0x120)
        return c - 0x100;
    if (c >= 0x121 && c <= 0x142)
        return c - 0x121 + 0x7f;
    return c == 0x143 ? 0xad : -1;
}

ft_status ft_bytes__spell(ft_buf *out, ft_str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        utf8proc_uint8_t u[4];
        utf8proc_ssize_t k = utf8proc_encode_char(ft_bytes__char((uint8_t)bytes.p[i]), u);
        FT_RETURN(ft_buf_put(out, u, (size_t)k));
    }
    return FT_OK;
}

ft_status ft_bytes__unspell(ft_buf *out, ft_str spelling, bool *ok)
{
    size_t before = out->n;
    for (size_t i = 0; i < spelling.n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t k =
            utf8proc_iterate((const utf8proc_uint8_t *)spelling.p + i, (utf8proc_ssize_t)(spelling.n - i), &c);
        int byte = k > 0 ? ft_bytes__byte(c) : -1;
        if (byte < 0) {
            out->n = before;
            *ok = false;
            return FT_OK;
        }
        FT_RETURN(ft_buf_putc(out, byte));
        i += (size_t)k;
    }
    *ok = true;
    return FT_OK;
}
