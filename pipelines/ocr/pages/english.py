"""English words for the pages: shops, goods, form fields, notices. All names are invented."""

from __future__ import annotations

from .words import Words, words

ENGLISH = Words(
    shops=words("""
        Copper Kettle | Green Lantern | Old Harbour | Silver Birch | Blue Door | Harvest Moon | Little Fox
        Riverside | North Star | Red Barn | Sunny Side | Stone Bridge | Paper Crane | Golden Pear
        Quiet Corner | White Heron | Juniper | Market Hall | Seven Oaks | Lucky Clover | Wild Thyme
        """),
    trades=words("""
        Bakery | Cafe | Grocery | Hardware | Pharmacy | Bookshop | Kitchen | Minimart | Stationery
        Laundry | Diner | Garage | Flowers | Electronics | Fish Bar | Wine Cellar | Pet Supplies | Optics
        """),
    streets=words("""
        Maple Avenue | Station Road | Mill Lane | Kingfisher Way | Harbour Street | Orchard Drive
        Chapel Hill | Victoria Parade | Quarry Close | Bridge Street | Lakeview Terrace | Forest Walk
        Union Square | Jubilee Road | Sycamore Crescent | Wharf Street | Granary Yard | Elm Grove
        """),
    towns=words("""
        Ashbury | Westhaven | Northfield | Lower Brook | Port Mallow | Eastvale | Kingsmere | Oakridge
        Fairwater | Granby | Hillcrest | Summerton | Wexley | Brightsea | Stanmoor | Glenrock
        """),
    firms=words("""
        Bluefin Logistics Ltd | Orion Paper Works | Cedar & Finch Trading Co. | Polar Freight Inc.
        Quantum Valve Supply | Meridian Textiles GmbH | Alder Print Services | Vertex Packaging LLC
        Sapphire Office Systems | Hawthorn Engineering | Delta Cold Storage | Larkspur Media Group
        Ironwood Tools Ltd | Pacific Seed Company | Tandem Cycle Parts | Zephyr Air Handling
        """),
    goods=words("""
        Rye Bread 500g | Whole Milk 1L | Free Range Eggs 12s | Cheddar Cheese | Olive Oil 750ml
        Green Apples | Basmati Rice 2kg | Ground Coffee | Orange Juice | Butter Unsalted | Tomato Soup
        Penne Pasta | Sea Salt | Black Pepper | Jasmine Tea 25s | Dark Chocolate | Honey Jar | Oat Biscuits
        Paper Towels | Dish Soap | Light Bulb 9W | AA Batteries 4pk | Ballpoint Pen | Exercise Book A5
        Sticky Tape | Scissors | USB Cable 1.5m | Extension Lead | Hammer 16oz | Wood Screws 40mm
        Paint Brush | Masking Tape | Garden Hose | Potting Soil | Rose Bouquet | Dog Biscuits | Cat Litter 5kg
        Vitamin C 60s | Cough Syrup | Hand Cream | Toothpaste | Shampoo 400ml | Umbrella | Wool Socks
        Veggie Burger | Fish & Chips | Iced Latte | Flat White | Mushroom Pizza | Chicken Wrap | Lentil Curry
        Lemonade | Mineral Water | Ginger Beer | Carrot Cake | Blueberry Muffin | Mango Sorbet | Egg Sandwich
        """),
    services=words("""
        Freight to warehouse | Hydraulic pump seal kit | Copy paper A4 80gsm | Site survey and report
        Annual maintenance | Steel bracket M12 | Laser toner cartridge | Cable tray, galvanised
        Pallet wrap 500mm | Safety gloves size 9 | Network switch 24 port | Office chair, mesh back
        Consulting hours | Valve gasket DN50 | Bearing 6204-2RS | Shipping insurance | Filter element
        Calibration service | Storage rack, 5 tier | Printing of brochures | LED panel 60W
        Air compressor hire | Stainless bolts M8 | Label rolls, white | Translation of manuals
        """),
    titles=words("""
        INVOICE | Delivery Note | PURCHASE ORDER | Service Report | Application Form | Packing List
        TAX INVOICE | Quotation | Inspection Record | REGISTRATION | Statement of Account | Work Order
        Claim Form | Goods Received Note | Credit Note | Maintenance Log
        """),
    fields=words("""
        Invoice no. = code | Date of issue = date | Due date = date | Customer ID = code | Order reference = code
        Ship to = place | Bill to = firm | Payment terms = answer | Contact phone = phone | Account number = digits
        Tax registration = digits | Department = answer | Serial number = code | Batch = code | Model = code
        Delivery address = place | Project code = code | Warranty until = date | Gross weight = weight
        Net weight = weight | Status = answer | Vehicle = code | Container = code | Inspected on = date
        Location = place | Supplier = firm | Amount due = money | Insured value = money | Fax = phone
        """),
    columns=words("Description | Qty | Unit price | Amount | Item | Code | Rate | Total | Ref. | Tax"),
    totals=words("""
        Subtotal | TOTAL | Sales tax 6% | Discount | Cash | Change | Card payment | Rounding | Balance due
        Net amount | Items sold | VAT 20% | Service 10% | Amount paid | Voucher
        """),
    answers=words("""
        30 days net | On receipt | Approved | Not applicable | Ground floor | Warehouse 4 | Pending
        Sea freight | Bank transfer | Fragile | Second shift | Passed | Spare parts | Head office
        Monthly | Express | Returned | Line B | Quality control | Unit 12 | Gate 7 | Standard
        """),
    thanks=words("""
        Thank you for shopping with us | Please come again | Goods sold are not returnable
        Keep this receipt for exchange | Have a nice day | Open daily 8am - 10pm | Customer copy
        Exchange within 14 days with receipt | Prices include tax | You saved today | Follow the blue line
        Points earned are added overnight | Served at counter 3 | Tell us how we did
        """),
    signs=words("""
        NO PARKING | Exit | Mind the step | PRIVATE PROPERTY | Reception | Staff only | Push | Pull
        CAUTION WET FLOOR | Keep clear | Platform 2 | Ticket Office | OPEN | CLOSED | Sale ends Sunday
        Fire assembly point | Lost Property | Danger high voltage | Cycle route | Speed limit 20
        Waiting Room | Gallery | Fresh Bread Daily | TO LET | Summer Concert | Quiet please | Lift
        Left luggage | Farmers Market | Car park full | Way out | Beware of the dog | Level 3 Toys
        """),
    notices=words("""
        Please hold the handrail when using the stairs. | Doors close five minutes before departure.
        The lift is out of order until further notice. | Children must be accompanied by an adult.
        All visitors must sign in at the front desk. | Water will be turned off between 9 and 11.
        Return borrowed tools to the rack after use. | Tickets are valid on the day of purchase only.
        Wear safety glasses beyond this line. | Report any damage to the duty office.
        Parking permits are issued on the second floor. | No food or drink inside the reading room.
        The library will be closed for stocktaking. | Deliveries are accepted from 7 to 15 hours.
        In case of fire leave the building at once. | Bags left unattended will be removed.
        Payment is due within thirty days of the invoice date. | Title remains with the seller until paid.
        Claims must be made in writing within seven days. | Subject to our general terms and conditions.
        This document was produced by computer and is valid unsigned. | Retain this part for your records.
        Rates are reviewed each quarter and may change. | Goods travel at the risk of the buyer.
        The guarantee covers parts and labour for one year. | Do not stack more than four boxes high.
        Meetings take place on the first Tuesday of each month. | Recycling is collected every Friday.
        """),
)
