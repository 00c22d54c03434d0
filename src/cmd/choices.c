#include "cmd/choices.h"
#include "cmd/cmd.h"

#include <string.h>

const char *ft_choice_metric(size_t i)
{
    return ft_metrics[i] ? ft_metrics[i]->name : NULL;
}

const char *ft_choice_optimizer(size_t i)
{
    return ft_optimizers[i] ? ft_optimizers[i]->name : NULL;
}

const char *ft_choice_loss(size_t i)
{
    return i == 0 ? "next_token" : ft_vector_losses[i - 1] ? ft_vector_losses[i - 1]->name : NULL;
}

const char *ft_choice_pooling(size_t i)
{
    return ft_pool_name((ft_pool)(i + 1));
}

const char *ft_choice_schedule(size_t i)
{
    return ft_schedules[i] ? ft_schedules[i]->name : NULL;
}

const char *ft_choice_exporter(size_t i)
{
    return ft_exporters[i] ? ft_exporters[i]->name : NULL;
}

const char *ft_choice_dtype(size_t i)
{
    return ft_dtypes[i] ? ft_dtypes[i]->name : NULL;
}

const char *ft_choice_mix(size_t i)
{
    size_t n = 0;
    for (; ft_mix_at(n); n++)
        if (n == i)
            return ft_mix_at(n)->name;
    size_t mixes = n;
    for (size_t k = 0; k < mixes; k++) /* behind the names their other spellings */
        if (ft_mix_at(k)->alias && n++ == i)
            return ft_mix_at(k)->alias;
    return NULL;
}

const char *ft_choice_quant(size_t i)
{
    return i == 0 ? "auto" : ft_choice_mix(i - 1);
}

const char *ft_choice_row_format(size_t i)
{
    return i == 0 ? "auto" : ft_row_formats[i - 1].name;
}

const char *ft_choice_nearest(const char *word, const char *(*choice)(size_t i))
{
    const char *names[64];
    size_t n = 0;
    for (; n < FT_COUNT(names) && choice(n); n++)
        names[n] = choice(n);
    return ft_nearest(word, names, n);
}

const char *ft_choice_all(const char *(*choice)(size_t i), char *buf, size_t size)
{
    size_t at = 0;
    *buf = 0;
    for (size_t i = 0; choice(i) && at < size; i++, at = strlen(buf))
        snprintf(buf + at, size - at, "%s%s", i ? ", " : "", choice(i));
    return buf;
}
