/* Metrics of one forward pass: over the supervised tokens of all rows, each token weighing the same. */
#include "score/metrics.h"

#include <math.h>

static double loss(const ft_loss *sum)
{
    return sum->sum / (double)sum->count;
}

static double perplexity(const ft_loss *sum)
{
    return exp(loss(sum));
}

static double token_accuracy(const ft_loss *sum)
{
    return (double)sum->correct / (double)sum->count;
}

const ft_metric ft_metric_loss = {
    .name = "loss",
    .source = FT_METRIC_LOSS,
    .higher_is_better = false,
    .of_loss = loss,
    .any_rows = true,
    .help = "mean of -log p over the supervised tokens, in nats; of a loss over vectors: its mean over rows",
};
const ft_metric ft_metric_perplexity = {
    .name = "perplexity",
    .source = FT_METRIC_LOSS,
    .higher_is_better = false,
    .of_loss = perplexity,
    .help = "e to the loss",
};
const ft_metric ft_metric_token_accuracy = {
    .name = "token_accuracy",
    .source = FT_METRIC_LOSS,
    .higher_is_better = true,
    .of_loss = token_accuracy,
    .help = "share of supervised tokens that are the model's first choice",
};
