#include "base/human.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>

const char *ft_human_bytes(double n, char buf[32])
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB"};
    size_t i = 0;
    for (; n >= 1000 && i + 1 < FT_COUNT(unit); i++)
        n /= 1000;
    snprintf(buf, 32, "%.*f %s", i && n < 100 ? 1 : 0, n, unit[i]);
    return buf;
}

const char *ft_human_count(double n, char buf[32])
{
    static const char *const unit[] = {"", " k", " M", " G"};
    size_t i = 0;
    if (n >= 10000)
        for (; n >= 1000 && i + 1 < FT_COUNT(unit); i++)
            n /= 1000;
    snprintf(buf, 32, "%.*f%s", i && n < 100 ? 2 : 0, n, unit[i]);
    return buf;
}

const char *ft_human_seconds(double s, char buf[32])
{
    long long t = s > 0 && s < 1e9 ? llround(s) : 0;
    if (!(s < 1e9))
        snprintf(buf, 32, "?");
    else if (s > 0 && s < 1)
        snprintf(buf, 32, "%.3gms", s * 1e3);
    else if (s < 10)
        snprintf(buf, 32, "%.1fs", FT_MAX(s, 0.0));
    else if (t < 100)
        snprintf(buf, 32, "%llds", t);
    else if (t < 3600)
        snprintf(buf, 32, "%lldm%02llds", t / 60, t % 60);
    else if (t < 86400)
        snprintf(buf, 32, "%lldh%02lldm", t / 3600, t / 60 % 60);
    else
        snprintf(buf, 32, "%lldd%02lldh", t / 86400, t / 3600 % 24);
    return buf;
}
