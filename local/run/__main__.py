import sys

from local.run.run import main

sys.exit(main())
