import sys

from local.host.host import main

sys.exit(main())
