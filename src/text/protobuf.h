/* Inside of the text room: reading Protocol Buffers messages field by field, as much of the wire format as
 * SentencePiece models use. The bytes are hostile: every length is checked against what is left; groups are refused.
 */
#ifndef FETTLE_TEXT_PROTOBUF_H
#define FETTLE_TEXT_PROTOBUF_H

#include "base/str.h"

typedef struct ft_proto {
    const uint8_t *base, *p, *end; /* base: start of the file, for places in messages */
    const char *path;
} ft_proto;

typedef enum ft_wire { FT_WIRE_VARINT = 0, FT_WIRE_64 = 1, FT_WIRE_BYTES = 2, FT_WIRE_32 = 5 } ft_wire;

typedef struct ft_field {
    uint32_t number;
    ft_wire wire;
    uint64_t u;   /* varint, fixed 64, fixed 32 */
    ft_str bytes; /* FT_WIRE_BYTES: a view of the file */
} ft_field;

/* The next field; *more false at the end. FT_EFORMAT "path: at byte N: ...". */
ft_status ft_proto__next(ft_proto *r, ft_field *f, bool *more);
/* A message within a message. */
ft_proto ft_proto__inner(const ft_proto *r, ft_str bytes);
/* Typed values: FT_EFORMAT when the field has another wire type. */
ft_status ft_proto__i64(const ft_proto *r, const ft_field *f, int64_t *out);
ft_status ft_proto__bool(const ft_proto *r, const ft_field *f, bool *out);
ft_status ft_proto__f32(const ft_proto *r, const ft_field *f, float *out);
ft_status ft_proto__bytes(const ft_proto *r, const ft_field *f, ft_str *out);

#endif
