from lehr.cli import main

main()
