/* Inside of the text room: base64, in which tokenizer files write bytes. */
#ifndef FETTLE_TEXT_BASE64_H
#define FETTLE_TEXT_BASE64_H

#include "base/str.h"

/* Appends the bytes of text; *ok false (and nothing appended) when it is no base64 with its padding. */
ft_status ft_base64__decode(ft_buf *out, ft_str text, bool *ok);
/* Appends the base64 of bytes, with padding. */
ft_status ft_base64__encode(ft_buf *out, ft_str bytes);

#endif
