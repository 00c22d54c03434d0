/* Reading Protocol Buffers (see protobuf.h). A field is a varint tag, number << 3 | wire type, and its value. */
#include "text/protobuf.h"

#include <string.h>

static ft_status damaged(const ft_proto *r, const char *what)
{
    return ft_fail(FT_EFORMAT, "%s: at byte %zu: %s", r->path, (size_t)(r->p - r->base), what);
}

static ft_status varint(ft_proto *r, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (r->p == r->end)
            return damaged(r, "the file ends within a number");
        uint8_t byte = *r->p++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return FT_OK;
    }
    return damaged(r, "a number of over 10 bytes");
}

static ft_status fixed(ft_proto *r, size_t n, uint64_t *out)
{
    if ((size_t)(r->end - r->p) < n)
        return damaged(r, "the message ends within a number");
    *out = 0;
    memcpy(out, r->p, n);
    r->p += n;
    return FT_OK;
}

ft_status ft_proto__next(ft_proto *r, ft_field *f, bool *more)
{
    uint64_t tag, n;
    *f = (ft_field){0};
    *more = r->p < r->end;
    if (!*more)
        return FT_OK;
    FT_RETURN(varint(r, &tag));
    f->wire = (ft_wire)(tag & 7);
    f->number = (uint32_t)FT_MIN(tag >> 3, (uint64_t)UINT32_MAX);
    if (!f->number)
        return damaged(r, "field number 0");
    switch (f->wire) {
    case FT_WIRE_VARINT:
        return varint(r, &f->u);
    case FT_WIRE_64:
        return fixed(r, 8, &f->u);
    case FT_WIRE_32:
        return fixed(r, 4, &f->u);
    case FT_WIRE_BYTES:
        FT_RETURN(varint(r, &n));
        if (n > (uint64_t)(r->end - r->p))
            return damaged(r, "a field that is longer than its message");
        f->bytes = (ft_str){(const char *)r->p, (size_t)n};
        r->p += n;
        return FT_OK;
    }
    return damaged(r, "an unknown wire type");
}

ft_proto ft_proto__inner(const ft_proto *r, ft_str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    return (ft_proto){r->base, p, p + bytes.n, r->path};
}

static ft_status expect(const ft_proto *r, const ft_field *f, ft_wire wire)
{
    return f->wire == wire ? FT_OK
                           : ft_fail(FT_EFORMAT, "%s: before byte %zu: field %u has wire type %d, expected %d", r->path,
                                     (size_t)(r->p - r->base), f->number, (int)f->wire, (int)wire);
}

ft_status ft_proto__i64(const ft_proto *r, const ft_field *f, int64_t *out)
{
    *out = (int64_t)f->u;
    return expect(r, f, FT_WIRE_VARINT);
}

ft_status ft_proto__bool(const ft_proto *r, const ft_field *f, bool *out)
{
    *out = f->u != 0;
    return expect(r, f, FT_WIRE_VARINT);
}

ft_status ft_proto__f32(const ft_proto *r, const ft_field *f, float *out)
{
    uint32_t bits = (uint32_t)f->u;
    memcpy(out, &bits, 4);
    return expect(r, f, FT_WIRE_32);
}

ft_status ft_proto__bytes(const ft_proto *r, const ft_field *f, ft_str *out)
{
    *out = f->bytes;
    return expect(r, f, FT_WIRE_BYTES);
}
