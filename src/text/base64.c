/* Base64 of RFC 4648, the plain alphabet (see base64.h): four characters for three bytes, '=' in place of what lacks.
 */
#include "text/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
    const char *p = c ? strchr(alphabet, c) : NULL;
    return p ? (int)(p - alphabet) : -1;
}

ft_status ft_base64__decode(ft_buf *out, ft_str text, bool *ok)
{
    size_t before = out->n, n = text.n;
    uint32_t bits = 0;
    *ok = text.n % 4 == 0;
    while (n && text.n - n < 2 && text.p[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n && *ok; i++) {
        int v = value_of(text.p[i]);
        *ok = v >= 0;
        bits = bits << 6 | (uint32_t)(v & 63);
        if (i % 4) /* every character behind the first of four completes a byte */
            FT_RETURN(ft_buf_putc(out, (int)(bits >> (6 - 2 * (i % 4)) & 0xff)));
    }
    if (!*ok)
        out->n = before;
    return FT_OK;
}

ft_status ft_base64__encode(ft_buf *out, ft_str bytes)
{
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t n = FT_MIN(bytes.n - i, (size_t)3);
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < n ? (uint8_t)bytes.p[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            FT_RETURN(ft_buf_putc(out, k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '='));
    }
    return FT_OK;
}
