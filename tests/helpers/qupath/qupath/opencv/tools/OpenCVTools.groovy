package qupath.opencv.tools

import java.awt.image.BufferedImage
import java.awt.image.DataBuffer

import org.bytedeco.opencv.opencv_core.Mat
import qupath.lib.color.ColorModelFactory
import qupath.lib.images.servers.ImageChannel
import qupath.lib.images.servers.PixelType

/** Of images of one channel of float alone: the only ones that are copied without a change of type. */
class OpenCVTools {
    static Mat imageToMat(BufferedImage image) {
        def raster = image.getRaster()
        assert raster.getNumBands() == 1 && raster.getDataBuffer().getDataType() == DataBuffer.TYPE_FLOAT
        def values = raster.getSamples(0, 0, image.getWidth(), image.getHeight(), 0, (float[]) null)
        return new Mat(rows: image.getHeight(), cols: image.getWidth(), values: values)
    }

    static BufferedImage matToBufferedImage(Mat mat) {
        def colours = ColorModelFactory.createColorModel(PixelType.FLOAT32, [new ImageChannel("one")])
        def image = new BufferedImage(colours, colours.createCompatibleWritableRaster(mat.cols, mat.rows), false, null)
        image.getRaster().setSamples(0, 0, mat.cols, mat.rows, 0, mat.values)
        return image
    }
}
