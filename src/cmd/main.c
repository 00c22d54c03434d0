#include "fettle.h"

#include <stdio.h>

int main(void)
{
    printf("fettle: %d threads\n", ft_threads());
    return 0;
}
